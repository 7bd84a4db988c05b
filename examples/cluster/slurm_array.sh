#!/bin/bash
# Process a list of recordings on a SLURM cluster: 20 tasks of 4 cores, one shard each.
#
#   find /data/bags -name metadata.yaml -printf '%h\n' | sort > inputs.txt
#   sbatch slurm_array.sh inputs.txt /data/results
#   pose_ros batch --merge /data/results --out /data/results      # when the array has ended
#
# Submit it again, with the same inputs and the whole array, to do what is left.

#SBATCH --job-name=pose_ros
#SBATCH --array=0-19
#SBATCH --cpus-per-task=4
#SBATCH --mem-per-cpu=1G
#SBATCH --time=12:00:00
#SBATCH --output=pose_ros_%A_%a.log
#SBATCH --requeue

set -euo pipefail

inputs=${1:?"expected: sbatch slurm_array.sh INPUTS.txt RESULTS_FOLDER [options of pose_ros batch]"}
results=${2:?"expected: sbatch slurm_array.sh INPUTS.txt RESULTS_FOLDER [options of pose_ros batch]"}
shift 2

# The shard follows from SLURM_ARRAY_TASK_ID and its companions. A fixed root keeps the names of the results.
exec pose_ros batch --list "$inputs" --root / --out "$results" --jobs "${SLURM_CPUS_PER_TASK:-1}" "$@"
