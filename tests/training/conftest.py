from pipeline.training import backend

backend.start()  # before any test module imports keras
