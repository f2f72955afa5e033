"""HTTP: admission, body limits, protocol, routes, drain and the page."""
