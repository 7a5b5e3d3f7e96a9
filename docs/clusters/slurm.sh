#!/bin/bash
# One training on the nodes of a Slurm job: sbatch docs/clusters/slurm.sh, in the project's folder,
# which all nodes share. params.yaml must say train.shards: 4, or a multiple of it.
#SBATCH --job-name=train
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
set -euo pipefail

port=$((20000 + SLURM_JOB_ID % 10000)) # another job may share the node
addresses=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | sed "s/.*/\"&:$port\"/" | paste -sd,)
export CLUSTER="{\"worker\": [$addresses]}"

# What runs on each node before the command that follows it.
export WORKER='export TF_CONFIG="{\"cluster\": $CLUSTER, \"task\": {\"type\": \"worker\", \"index\": $SLURM_PROCID}}"; exec "$@"'
export TRAIN_LAUNCHER="srun --kill-on-bad-exit=1 bash -c 'eval \"\$WORKER\"' bash"

source .venv/bin/activate
dvc repro
