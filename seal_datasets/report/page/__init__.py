"""A report as one page: verdict, pictures, and a reader of its pairs."""
