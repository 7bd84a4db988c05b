"""``pose_ros batch``: find people in many files, on all cores or a cluster."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pose_ros.cli import options
from pose_ros.cli.batch_bar import printable
from pose_ros.cli.video import DepthTopicName, Topic
from pose_ros.texts import format_count

if TYPE_CHECKING:
    from pose_ros.batch.inputs import Input
    from pose_ros.batch.manifest import Manifest, Row
    from pose_ros.batch.pool import Pool
    from pose_ros.batch.recipe import Recipe
    from pose_ros.batch.resume import Plan
    from pose_ros.batch.shards import Shard
    from pose_ros.config import EstimatorConfig

LISTED = 50
"""Most failures in the list at the end."""
GPU_DEVICES = ("/dev/nvidiactl", "/dev/nvhost-gpu", "/dev/nvgpu")


def batch(
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            help="Videos, images, bags, folders of them, or globs. With --merge: folders of results.",
            show_default=False,
        ),
    ] = None,
    *,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the results.", show_default=False)],
    listed: Annotated[
        Path | None, typer.Option("--list", help="File with one more input per line.", show_default=False)
    ] = None,
    root: Annotated[
        Path | None,
        typer.Option("--root", help="Folder to which names are relative.", show_default="deepest common folder"),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Write JSON Lines. Default without another output.")] = False,
    coco: Annotated[bool, typer.Option("--coco", help="Write COCO keypoint results.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="Write CSV.")] = False,
    mcap: Annotated[bool, typer.Option("--mcap", help="Write MCAP. Needs ROS 2.")] = False,
    draw: Annotated[bool, typer.Option("--draw", help="Write annotated videos and images.")] = False,
    jobs: Annotated[
        int | None,
        typer.Option("--jobs", "-j", min=1, help="Worker processes.", show_default="physical cores, 1 with a GPU"),
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(
            "--shard",
            metavar="I/N",
            help="Process the I-th of N equal parts.",
            show_default="from a SLURM array or an Indexed Job, else 1/1",
        ),
    ] = None,
    piece_s: Annotated[
        float, typer.Option("--piece", min=0, help="Longest piece of a long video or bag, s. 0 = never cut.")
    ] = 120.0,
    stale: Annotated[str, typer.Option("--stale", help="Results of other settings: refuse, redo or keep.")] = "refuse",
    merge: Annotated[bool, typer.Option("--merge", help="Join the results of all shards.")] = False,
    ray: Annotated[
        str | None,
        typer.Option(
            "--ray", metavar="ADDRESS", help="Run on a Ray cluster: its address, auto, or local.", show_default=False
        ),
    ] = None,
    gpus: Annotated[float, typer.Option("--gpus", min=0, help="With --ray: GPUs of each worker, or a share.")] = 0.0,
    strict: Annotated[bool, typer.Option("--strict", help="Fail an input with an image that cannot be read.")] = False,
    topic: Topic = None,
    depth_topic: DepthTopicName = None,
    model: options.Model = None,
    spec: options.Spec = None,
    runtime: options.Runtime = "auto",
    grouping: options.Grouping = None,
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, help="CPU threads of each worker.", show_default="cores / jobs")
    ] = None,
    short_side: options.ShortSide = None,
    settings: options.SetOption = None,
    boxes: options.Boxes = False,
    ids: options.Ids = False,
    anonymise: options.Anonymise = None,
) -> None:
    """Find people in many files. Started again, it does what is left.

    pose_ros batch recordings -o results
    """
    from pose_ros.batch.inputs import find_inputs, read_list
    from pose_ros.batch.recipe import Recipe
    from pose_ros.batch.resume import STALE
    from pose_ros.batch.shards import find_shard
    from pose_ros.cli.check_paths import check_folder
    from pose_ros.cli.doctor import version
    from pose_ros.cli.outputs import make_mcap
    from pose_ros.models.model_file import DEFAULT_MODEL, find_model
    from pose_ros.ros.messages.cv_bridge import convert_with_cv_bridge
    from pose_ros.runtime.triton_address import find_address

    if stale not in STALE:
        raise ValueError(f"--stale: expected {', '.join(STALE)}, got {stale}")
    if merge:
        check_folder("--out", out)
        _merge([Path(folder) for folder in inputs or [str(out)]], out, stale == "keep")
        return
    if gpus and ray is None:
        raise ValueError("--gpus: expected --ray as well, got none; without Ray, use --jobs")
    part = find_shard(shard)
    config, overlay = options.make_configs(settings, threads, short_side, boxes, ids, anonymise)
    options.check_runtime(runtime, config)
    jobs, threads = _share_cores(jobs, config.runtime.threads, _may_use_gpu(runtime, config.runtime.device))
    config = replace(config, runtime=replace(config.runtime, threads=threads))
    config = _make_absolute(config)
    file = find_model(model)
    wanted = {"json": json, "coco": coco, "csv": csv, "mcap": mcap, "video": draw}
    recipe = Recipe(
        Path(os.path.abspath(out)),
        tuple(kind for kind, is_wanted in wanted.items() if is_wanted) or ("json",),
        *(
            find_address(model) or (None if file == DEFAULT_MODEL else file.absolute()),
            spec and spec.absolute(),
            runtime,
            grouping,
            config,
            overlay,
            topic,
            depth_topic,
            strict,
            piece_s,
            version(),
        ),
        convert=convert_with_cv_bridge,
        make_mcap=make_mcap,
    )
    check_folder("--out", recipe.out)
    if ray is not None:
        from pose_ros.batch.ray_actors import load_ray

        load_ray()
    lines = read_list(listed) if listed is not None else []
    found = find_inputs(inputs or [], lines, out=recipe.out, root=root)
    _check_topics(found, {"--topic": topic, "--depth-topic": depth_topic})
    _process(found, part, recipe, stale, partial(_open_pool, recipe, jobs, ray, gpus))


def _check_topics(found: Sequence[Input], topics: Mapping[str, str | None]) -> None:
    """Raise ValueError if a topic is given, and no input is a bag: it would have no effect."""
    from pose_ros.media.bag_folder import is_bag

    given = [option for option, topic in topics.items() if topic is not None]
    if given and found and not any(is_bag(each.path) for each in found):
        raise ValueError(f"{given[0]}: expected a bag among the inputs, got {format_count(len(found), 'other input')}")


def _make_absolute(config: EstimatorConfig) -> EstimatorConfig:
    """Return the settings with absolute names of files, because workers of a cluster start in another folder."""
    from pose_ros.runtime.triton_address import find_address

    second, ignored = config.refinement.model, config.regions.ignore
    if second and find_address(second) is None:
        config = replace(config, refinement=replace(config.refinement, model=os.path.abspath(second)))
    if ignored:
        config = replace(config, regions=replace(config.regions, ignore=os.path.abspath(ignored)))
    return config


def _share_cores(jobs: int | None, threads: int, may_use_gpu: bool) -> tuple[int, int]:
    """Return the number of workers and the threads of each, so that they use all cores together."""
    from pose_ros.cores import count_cores

    cores = count_cores()
    jobs = jobs or (1 if may_use_gpu else max(1, cores // (threads or 1)))
    return jobs, threads or max(1, cores // jobs)


def _may_use_gpu(runtime: str, device: str) -> bool:
    """Return whether the workers may share a GPU. Each then needs memory of it."""
    has_gpu = any(os.path.exists(path) for path in GPU_DEVICES)
    return has_gpu and runtime != "openvino" and device in ("auto", "cuda")


def _open_pool(recipe: Recipe, jobs: int, ray: str | None, gpus: float) -> Pool:
    if ray is None:
        from pose_ros.batch.processes import ProcessPool

        return ProcessPool(recipe, jobs)
    from pose_ros.batch.ray_actors import RayPool

    return RayPool(recipe, jobs, ray, gpus)


def _process(found: Sequence[Input], part: Shard, recipe: Recipe, stale: str, open_pool: Callable[[], Pool]) -> None:
    """Process what is left of a shard, and end with a summary."""
    from pose_ros.batch.manifest import Manifest
    from pose_ros.batch.merge import store_listing
    from pose_ros.batch.recipe import fingerprint
    from pose_ros.batch.resume import make_plan, store_settings

    settings, own = recipe.settings(), part.select(found)
    with Manifest(recipe.out, part) as manifest:
        plan = make_plan(own, manifest.rows, recipe.out, settings, stale)
        store_settings(recipe.out, settings)
        store_listing(recipe.out, part, found)
        typer.echo(f"{recipe.out}: {_describe_plan(plan, part)}", err=True)
        if plan.to_do:
            _run(plan.to_do, manifest, recipe.version, fingerprint(settings), open_pool)
        manifest.compact([entry.name for entry in own])
        rows = [manifest.rows[entry.name] for entry in own]
    typer.echo(_summarise(rows))
    _list_failures([row for row in rows if row.state != "done"])


def _run(
    to_do: Sequence[Input], manifest: Manifest, version: str, settings: str, open_pool: Callable[[], Pool]
) -> None:
    """Process inputs. The rows of the manifest get the version, and the fingerprint of the settings."""
    from pose_ros.batch.manifest import Row
    from pose_ros.batch.run import BatchRun
    from pose_ros.cli.batch_bar import BatchBar

    def make_row(entry: Input) -> Row:
        file = str(entry.path), entry.size_bytes, entry.modified_ns
        return Row(entry.name, "", 0, 0, 0.0, "", "", version, settings, (), *file, "")

    with open_pool() as pool, BatchBar(to_do) as bar:
        BatchRun(to_do, pool, manifest, make_row, bar.report, bar.end_input, bar.notify).run()


def _describe_plan(plan: Plan, part: Shard) -> str:
    """Return one line: how many inputs there are, and why those of earlier runs are processed again."""
    again = {"failed before": plan.retried, "changed": plan.changed, "of other settings": plan.stale}
    parts = [f"{format_count(len(plan.to_do), 'input')} to process"]
    parts += [f"{count} {reason}" for reason, count in again.items() if count]
    parts += [f"{len(plan.complete)} complete"] * bool(plan.complete)
    parts += [f"shard {part}"] * (part.count > 1)
    return ", ".join(parts)


def _summarise(rows: Sequence[Row]) -> str:
    from pose_ros.cli.tables import format_table

    table = [("", "inputs", "frames", "people", "worker time")]
    for state in ("done", "partial", "failed"):
        chosen = [row for row in rows if row.state == state]
        if chosen or state == "done":
            frames, people = sum(row.frames for row in chosen), sum(row.people for row in chosen)
            seconds = sum(row.seconds for row in chosen)
            table.append((state, str(len(chosen)), str(frames), str(people), f"{seconds:.1f} s"))
    return format_table(table)


def _list_failures(rows: Sequence[Row]) -> None:
    """List the inputs that are not complete, if there are any, and end the command.

    Raises:
        typer.Exit: With exit code 1.
    """
    if not rows:
        return
    count = len(rows)
    counted = format_count(count, "input is", "inputs are")
    typer.secho(f"pose_ros: {counted} not complete:", fg="red", err=True)
    for row in rows[:LISTED]:
        typer.secho(f"pose_ros: {printable(row.input)}: {row.error}", fg="red", err=True)
    if count > LISTED:
        typer.secho(f"pose_ros: and {count - LISTED} more, see the manifest", fg="red", err=True)
    raise typer.Exit(1)


def _merge(folders: Sequence[Path], out: Path, mixed: bool) -> None:
    from pose_ros.batch.merge import merge_results

    merged = merge_results(folders, out, mixed=mixed)
    for note in merged.notes:
        typer.secho(note, fg="yellow", err=True)
    for file in merged.files:
        typer.echo(file)
    typer.echo(_summarise(merged.rows))
