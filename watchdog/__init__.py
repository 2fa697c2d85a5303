"""The watchdog of Flux's shards: one file without dependencies, which runs in the cluster from a ConfigMap."""
