"""How tradebook is entered: the managers, the command line, and the container that wires them."""
