"""The REST server: admission, body, protocol, routes, drain and the page."""
