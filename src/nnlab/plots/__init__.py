"""Pictures from records and arrays."""
