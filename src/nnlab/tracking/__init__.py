"""The MLflow projection of the journals: written and read by processes of its own."""
