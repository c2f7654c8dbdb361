"""How the example company's books come about: `examples.build_data` runs these modules in order."""
