"""HTTP: the routes, the door before them, and the document about them."""
