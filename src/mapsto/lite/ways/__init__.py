"""How the graphs of an export are asked: a file a way, named by what learned (`Learner.way`)."""
