# The node on a desktop or server: TensorRT on an NVIDIA GPU, ONNX Runtime on the CPU where there is none.
# How to build and run it stands in docs/deployment.md. A container downloads nothing.
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

# What pyproject.toml lists, without the package, whose code comes from the workspace. NumPy stays the 1 that the
# messages of ROS 2 are built with. TensorRT's package fetches its libraries from NVIDIA; empty, it is left out.
ARG TENSORRT=10.13.*
ARG CUDA=12
COPY pyproject.toml setup.py package.xml README.md LICENSE /opt/pose_ros/
RUN python3 -m venv --system-site-packages /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir "numpy<2" /opt/pose_ros \
        ${TENSORRT:+"tensorrt-cu${CUDA}==${TENSORRT}" "cuda-bindings==${CUDA}.*"}
COPY --from=build /ws/install /ws/install

# DDS hands images over in memory only among programs of one user: take the number of yours.
ARG USER_ID=1000
RUN getent passwd "${USER_ID}" || useradd --uid "${USER_ID}" --create-home pose
RUN install --directory --owner "${USER_ID}" /cache

# Engines and the compiled decoder stay in /cache: give it a volume.
ENV PATH="/opt/venv/bin:${PATH}" XDG_CACHE_HOME=/cache NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER ${USER_ID}
WORKDIR /cache
ENTRYPOINT ["/bin/bash", "-c", "source /ws/install/setup.bash && exec \"$@\"", "--"]
CMD ["ros2", "launch", "pose_ros", "camera.launch.py", "camera:=none"]
