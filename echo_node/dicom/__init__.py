"""All that knows DICOM's network and files: associations, headers, pixels, clips."""
