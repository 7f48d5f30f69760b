"""The operations page: what an engineer on call reads first, served on 127.0.0.1 by `esq open ENV`.

A panel is one part of the page with one source. Panels are read when a viewer polls, each in a thread of its
own with a deadline, and at most once per interval for all viewers together. A panel whose source cannot be
read says so: it never shows old or empty content that could be taken for a good state.
"""
