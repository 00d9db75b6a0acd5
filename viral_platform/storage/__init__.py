"""PostgreSQL: the server, the tables, and one repository for each aggregate."""
