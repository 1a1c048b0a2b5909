"""The pages of docs/reference, each made from the code it describes, so that they cannot drift apart."""
