"""What trading bots import in their own tests: fakes and hypothesis strategies."""
