"""Pictures of ``qtool top`` for the README and the guide, made by the program itself."""
