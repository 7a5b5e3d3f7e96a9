"""What the pipeline is measured by."""
