"""What users set for plugins: the file, the schemas that it must fit, the secrets in it."""
