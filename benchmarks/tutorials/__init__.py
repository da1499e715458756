"""What peers' own pages tell people to do, one file each: `run(files, curve, quick)`. The source stands in
the file's head; epochs, batch size and rate are the page's. `curve.measure(score)` is called after every
pass; `quick` asks for a few rows and one pass.
"""
