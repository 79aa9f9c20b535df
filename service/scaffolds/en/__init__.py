"""The scaffolds in English."""
