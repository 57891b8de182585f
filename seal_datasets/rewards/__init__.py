"""How reward models of every kind score a text, from a classifier run here to a server."""
