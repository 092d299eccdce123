# The environment default of the workspace Größe FROM scratch. Build it in the workspace's directory:
#
#     docker build --platform linux/amd64 --file Dockerfile --tag gr-e-from-scratch:default ..

ARG ENVIRONMENT="default"

FROM ghcr.io/prefix-dev/pixi:noble AS build

# An ARG without a value takes the one above.
ARG ENVIRONMENT

WORKDIR /app
COPY ["analysis/pyproject.toml", "analysis/pixi.lock", "./"]
COPY ["analysis/libs/core", "/app/libs/core"]
COPY ["shared wheels/a.whl", "/shared wheels/a.whl"]
COPY ["analysis/set up.sh", "/app/set up.sh"]
ENV PIXI_CACHE_DIR=/var/cache/pixi
RUN --mount=type=cache,target=/var/cache/pixi,sharing=locked \
    pixi install --locked --environment "$ENVIRONMENT"
# The last line runs the command; a job that sources the script leaves that line out.
RUN { echo '#!/bin/bash' && pixi shell-hook --environment "$ENVIRONMENT" --shell bash --frozen --no-install \
    && echo 'exec "$@"'; } > /app/entrypoint.sh

FROM ghcr.io/prefix-dev/pixi:noble AS final

ARG ENVIRONMENT

WORKDIR /app
COPY --from=build ["/app/.pixi/envs/$ENVIRONMENT", "/app/.pixi/envs/$ENVIRONMENT"]
COPY --from=build ["/app/pyproject.toml", "/app/pyproject.toml"]
COPY --from=build ["/app/pixi.lock", "/app/pixi.lock"]
COPY --from=build ["/app/.pixi/.gitignore", "/app/.pixi/.gitignore"]
COPY --from=build ["/app/.pixi/.condapackageignore", "/app/.pixi/.condapackageignore"]
COPY --from=build ["/app/libs/core", "/app/libs/core"]
COPY --from=build ["/app/set up.sh", "/app/set up.sh"]
COPY --from=build --chmod=0755 ["/app/entrypoint.sh", "/app/entrypoint.sh"]
COPY ["analysis/my data", "/opt/my data"]
COPY ["analysis/train.py", "/app/src/train.py"]

ENTRYPOINT ["/app/entrypoint.sh"]
CMD ["/bin/bash"]
