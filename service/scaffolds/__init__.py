"""What a new plugin begins with: for each type a plugin and its test, in English and in Chinese."""
