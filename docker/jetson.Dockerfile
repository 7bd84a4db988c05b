# The node on a Jetson with JetPack 6 or 7, with the TensorRT and CUDA of this JetPack. Build it on the board, or put
# two files of the board into docker/apt. docs/deployment.md explains both. A running container downloads nothing.
ARG DISTRO=humble

FROM ros:${DISTRO}-ros-base AS build
SHELL ["/bin/bash", "-e", "-o", "pipefail", "-c"]
COPY . /ws/src/pose_ros
WORKDIR /ws
RUN source "/opt/ros/${ROS_DISTRO}/setup.bash" \
    && colcon build --packages-select pose_ros --merge-install --cmake-args -DBUILD_TESTING=OFF

FROM ros:${DISTRO}-ros-base
SHELL ["/bin/bash", "-e", "-o", "pipefail", "-c"]

# The package source of the board and its key, so that the image gets the same versions. For CUDA, see `ls /usr/local`.
ARG CUDA=12-6
COPY docker/apt/nvidia-l4t-apt-source.list /etc/apt/sources.list.d/
COPY docker/apt/jetson-ota-public.asc /etc/apt/trusted.gpg.d/
RUN apt-get update \
    && apt-get install --yes --no-install-recommends "cuda-cudart-${CUDA}" python3-libnvinfer python3-venv \
    && rm -rf /var/lib/apt/lists/* \
    && ldconfig -p | grep libcudart

# Install only the dependencies in pyproject.toml. The code of the package comes from the workspace. NumPy stays at
# version 1, for which the ROS 2 messages are built.
COPY pyproject.toml setup.py package.xml README.md LICENSE NOTICE /opt/pose_ros/
RUN python3 -m venv --system-site-packages /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir "numpy<2" /opt/pose_ros
COPY --from=build /ws/install /ws/install

# DDS uses shared memory for images only between programs of the same user: set this to your user id.
ARG USER_ID=1000
RUN getent passwd "${USER_ID}" || useradd --uid "${USER_ID}" --create-home pose
RUN install --directory --owner "${USER_ID}" /cache

# /cache stores the engines and the compiled decoder. Mount a volume there. The driver comes from the board. The JetPack
# version determines which of the two library folders contains it.
ENV PATH="/opt/venv/bin:${PATH}" XDG_CACHE_HOME=/cache NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=all \
    LD_LIBRARY_PATH=/usr/lib/aarch64-linux-gnu/nvidia:/usr/lib/aarch64-linux-gnu/tegra
USER ${USER_ID}
WORKDIR /cache
ENTRYPOINT ["/bin/bash", "-c", "source /ws/install/setup.bash && exec \"$@\"", "--"]
CMD ["ros2", "launch", "pose_ros", "camera.launch.py", "camera:=none"]
