"""What screens are made of. Widgets draw what they are given: they ask no broker and open no file."""
