"""Models as an electron microscope shows them: projected HAADF images and their FFTs."""
