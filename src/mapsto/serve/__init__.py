"""Runs in use: a server that people can put in front of others, a page to try it, and a client.

    served/       what can be served, a file a kind: runs today
    worker        a process that holds the net; killed, it is replaced
    workers       the server's end of it
    batching      many requests' rows through the net at once; the queue has an end
    requests      bodies (JSON, forms, tables) to rows
    app           addresses, put together; schema: what is said of them
    openai        chat and writing, as OpenAI's clients speak
    guards        tokens, limits, the access log
    page/         the page at /: one html, one css, and a file of js for each kind of field

A request is read and checked where it came in, and only then joins a batch: one bad row fails nobody else's.
"""
