"""What a lab may send to those who help it: facts known to be free of patients."""
