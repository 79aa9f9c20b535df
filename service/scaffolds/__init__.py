"""What `plugbay new` begins a plugin with: for each type a plugin and its test, as they are but for their names."""
