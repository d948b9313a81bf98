"""What is deployed, and `synthseg serve`: the application, the server's main process and its front."""
