int image_placeholder; 
