"""What the server and its workers say to each other: frames and messages, the same code at both ends."""
