"""The command `viral`: thin modules over the services, one for each command group."""
