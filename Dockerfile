# selfj on a CPU; docs/install.md says how to build and run it.
FROM python:3.11-slim AS build
# The environment has pip, which fetches the model of the judge `small`.
RUN pip install --no-cache-dir uv==0.13.8 && python -m venv /opt/selfj
ENV VIRTUAL_ENV=/opt/selfj UV_NO_CACHE=1
WORKDIR /source
COPY pyproject.toml constraints.txt ./
# What it needs comes first, so that a change of the code does not fetch it again. `--torch-backend
# cpu` takes torch from PyTorch's index of CPU builds.
RUN uv pip install --torch-backend cpu -c constraints.txt -r pyproject.toml \
    --extra openai --extra report --extra web
COPY . .
RUN uv pip install --no-deps .

FROM python:3.11-slim
# A home of its own for models and caches. Everybody may write there, because `docker run --user`
# gives the process the number of whoever owns the mounted files.
RUN useradd --uid 1000 selfj && install -d -m 1777 /home/selfj /work
COPY --from=build /opt/selfj /opt/selfj
ENV HOME=/home/selfj PATH=/opt/selfj/bin:$PATH
USER 1000
WORKDIR /work
ENTRYPOINT ["selfj"]
CMD ["--help"]
