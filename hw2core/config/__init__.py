"""What config.yaml may say, and its expansion into named run specs."""
