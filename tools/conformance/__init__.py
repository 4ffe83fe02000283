"""How clients of server-sent events behave: the same cases for each, measured by one script (`make_table`)."""
