"""What the company knows: documents cut into chunks, indexed in one SQLite file per knowledge base, searched.

The way in, for the tool and for the command line::

    from tasks.knowledge.ingest import add              # read folders, take what changed
    from tasks.knowledge.search import search           # ranked chunks of a question
    from tasks.knowledge.catalogue import list_kbs, remove

Files and folders become documents (`sources`, `readers`), documents become chunks (`chunking`), chunks lie in a
file (`schema`, `store`) that any number of processes of one host read and write at once (`connections`). A query
is ranked by words (`lexical`), by meaning when the optional embedding model is installed (`dense`, `minilm`), or by
both (`fusion`).
"""
