"""The loop that trains, and what it needs: rules that end it, metrics, the experiment's type."""
