# domain-embed and its demo on a CPU, with the servers of Dagster and MLflow; docker-compose.yml starts each from it.
# For a GPU leave the index out, and pip takes PyPI's CUDA build: docker build --build-arg TORCH_INDEX= .
FROM python:3.11-slim

ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu

# A volume that is first mounted on these folders belongs to the user who owns them here.
RUN useradd --create-home --uid 1000 app && install --directory --owner=app --group=app /data /mlflow
WORKDIR /app

# The dependencies in a layer of their own: an edit of the source does not install them again.
COPY pyproject.toml constraints.txt README.md LICENSE ./
RUN mkdir domain_embed && touch domain_embed/__init__.py \
    && pip install --no-cache-dir --constraint constraints.txt \
       ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} ".[demo,objects,postgres]"

COPY workspace.yaml ./
COPY deploy deploy
COPY domain_embed domain_embed
RUN pip install --no-cache-dir --no-deps --force-reinstall .

USER app
# The command refuses to listen for others until the user states that a proxy with a login stands before it
# (docs/deployment.md); no layer states it for him.
ENV DOMAIN_EMBED_HOME=/data PYTHONUNBUFFERED=1 GIT_PYTHON_REFRESH=quiet
EXPOSE 3000
CMD ["domain-embed", "ui", "--host", "0.0.0.0", "--port", "3000"]
