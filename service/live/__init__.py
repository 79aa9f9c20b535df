"""What is going on, told to whoever asks: the event log, the topics, and the hub that feeds the clients."""
