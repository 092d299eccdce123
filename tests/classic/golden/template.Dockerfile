# An environment of the workspace demo, as the ARGs say. Build it in the workspace's directory:
#
#     docker build --platform linux/amd64 --file Dockerfile --tag demo:default .

ARG CUDA_VERSION="12.9"
ARG ENVIRONMENT="default"

FROM ghcr.io/prefix-dev/pixi:noble AS build

# An ARG without a value takes the one above.
ARG CUDA_VERSION
ARG ENVIRONMENT

WORKDIR /app
COPY ["pixi.toml", "pixi.lock", "./"]
ENV PIXI_CACHE_DIR=/var/cache/pixi
ENV CONDA_OVERRIDE_CUDA=$CUDA_VERSION
RUN --mount=type=cache,target=/var/cache/pixi,sharing=locked \
    pixi install --locked --environment "$ENVIRONMENT"
# The last line runs the command; a job that sources the script leaves that line out.
RUN { echo '#!/bin/bash' && pixi shell-hook --environment "$ENVIRONMENT" --shell bash --frozen --no-install \
    && echo 'exec "$@"'; } > /app/entrypoint.sh

FROM ghcr.io/prefix-dev/pixi:noble AS final

ARG ENVIRONMENT

WORKDIR /app
COPY --from=build ["/app/.pixi/envs/$ENVIRONMENT", "/app/.pixi/envs/$ENVIRONMENT"]
COPY --from=build ["/app/pixi.toml", "/app/pixi.toml"]
COPY --from=build ["/app/pixi.lock", "/app/pixi.lock"]
COPY --from=build ["/app/.pixi/.gitignore", "/app/.pixi/.gitignore"]
COPY --from=build ["/app/.pixi/.condapackageignore", "/app/.pixi/.condapackageignore"]
COPY --from=build --chmod=0755 ["/app/entrypoint.sh", "/app/entrypoint.sh"]

ENTRYPOINT ["/app/entrypoint.sh"]
CMD ["/bin/bash"]
