"""What moto lacks of AWS."""
