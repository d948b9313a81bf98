"""The server's own front: its socket, and the HAProxy that takes requests in there, both kept by the server's main process."""
