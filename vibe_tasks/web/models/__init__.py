"""Bodies of requests and answers of the HTTP API, as OpenAPI describes them."""
