"""Makes what runs follow what the files hold and what was asked for."""
