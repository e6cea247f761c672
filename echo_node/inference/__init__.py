"""Engine packages and their backends: manifest, preprocessing, runtimes, typed heads. No torch."""
