# The node on a desktop or server: TensorRT on an NVIDIA GPU, or ONNX Runtime on the CPU if there is no GPU.
# docs/deployment.md explains how to build and run it. A running container downloads nothing.
ARG DISTRO=jazzy

FROM ros:${DISTRO}-ros-base AS build
SHELL ["/bin/bash", "-e", "-o", "pipefail", "-c"]
COPY . /ws/src/pose_ros
WORKDIR /ws
RUN source "/opt/ros/${ROS_DISTRO}/setup.bash" \
    && colcon build --packages-select pose_ros --merge-install --cmake-args -DBUILD_TESTING=OFF

FROM ros:${DISTRO}-ros-base
SHELL ["/bin/bash", "-e", "-o", "pipefail", "-c"]
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3-venv \
    && rm -rf /var/lib/apt/lists/*

# Install only the dependencies in pyproject.toml. The code of the package comes from the workspace. NumPy stays at
# version 1, for which the ROS 2 messages are built. The TensorRT package downloads its libraries from NVIDIA. Set
# TENSORRT to an empty value to skip TensorRT.
ARG TENSORRT=10.13.*
ARG CUDA=12
COPY pyproject.toml setup.py package.xml README.md LICENSE NOTICE /opt/pose_ros/
RUN python3 -m venv --system-site-packages /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir "numpy<2" /opt/pose_ros \
        ${TENSORRT:+"tensorrt-cu${CUDA}==${TENSORRT}" "cuda-bindings==${CUDA}.*"}
COPY --from=build /ws/install /ws/install

# DDS uses shared memory for images only between programs of the same user: set this to your user id.
ARG USER_ID=1000
RUN getent passwd "${USER_ID}" || useradd --uid "${USER_ID}" --create-home pose
RUN install --directory --owner "${USER_ID}" /cache

# /cache stores the engines and the compiled decoder. Mount a volume there.
ENV PATH="/opt/venv/bin:${PATH}" XDG_CACHE_HOME=/cache NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER ${USER_ID}
WORKDIR /cache
ENTRYPOINT ["/bin/bash", "-c", "source /ws/install/setup.bash && exec \"$@\"", "--"]
CMD ["ros2", "launch", "pose_ros", "camera.launch.py", "camera:=none"]
