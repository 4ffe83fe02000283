"""Long runs under load with faults at random; not part of CI."""
