"""Labels → judgments → splits that do not leak."""
