"""What Plugbay is measured against."""
