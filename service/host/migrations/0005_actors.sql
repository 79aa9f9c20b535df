-- Who had it done: the client of the request, as JSON; null where it was nobody's, or before this was noted.
ALTER TABLE changes ADD COLUMN by BLOB;
